#include "budget/evidence.h"
