#include "budget/allow_list.h"
