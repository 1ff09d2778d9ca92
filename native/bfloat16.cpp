#include "bfloat16.h"

#include "parallel.h"

#if defined(SWEEPSEG_BFLOAT16)
// Whether this machine has the instructions that the functions of bfloat16 take.
SWEEPSEG_API int sweepseg_multiplies_bfloat16() { return __builtin_cpu_supports("avx512bf16") != 0; }
#endif
