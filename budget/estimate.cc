#include "budget/estimate.h"
