#include "agent/lifecycle.h"
