#include "rahf/core/generator.h"
#include "rahf/core/reward.h"
