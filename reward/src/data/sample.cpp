#include "rahf/reward/data/sample.h"
