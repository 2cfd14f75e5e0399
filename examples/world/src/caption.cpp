#include "rahf/world/caption.h"
