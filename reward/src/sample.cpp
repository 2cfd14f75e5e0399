#include "rahf/reward/sample.h"
