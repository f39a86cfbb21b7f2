#include "budget/sqlite_purse_store.h"
