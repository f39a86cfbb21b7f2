#include "budget/explain.h"
