#pragma once

// RAHF_WIDE before a function makes its loops as wide as the vectors of the machine that runs it.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define RAHF_WIDE __attribute__((target_clones("avx512f", "avx2,fma", "default"), optimize("O3")))
#else
#define RAHF_WIDE
#endif
