#include "rahf/core/reward.h"

#include "rahf/core/generator.h"
