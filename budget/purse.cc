#include "budget/purse.h"
