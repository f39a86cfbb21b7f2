#include "agent/decide.h"
