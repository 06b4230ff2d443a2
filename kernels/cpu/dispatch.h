/* From a level's number to its functions. */
#ifndef PUMER_CPU_DISPATCH_H
#define PUMER_CPU_DISPATCH_H

#include "level.h"

namespace pumer::cpu {

/* The level asked for, or the best this processor has. */
const Level& level_of(int level);

}  // namespace pumer::cpu

#endif
