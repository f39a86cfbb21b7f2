#include "budget/decision.h"
