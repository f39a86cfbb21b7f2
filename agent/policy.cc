#include "agent/policy.h"
