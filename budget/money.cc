#include "budget/money.h"
