#include "budget/offer_check.h"
