#include "budget/utility.h"
