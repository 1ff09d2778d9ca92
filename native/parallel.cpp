#include "parallel.h"

namespace sweepseg {
ParallelFor torch_parallel_for = nullptr;
}

SWEEPSEG_API void sweepseg_use_threads(sweepseg::ParallelFor torch_parallel_for) {
    sweepseg::torch_parallel_for = torch_parallel_for;
}
