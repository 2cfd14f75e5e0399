# Everything here only saves time; the project builds and behaves the same without it.

option(RAHF_PCH "Precompile LibTorch's headers once for all targets" ON)

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # ccache only caches what uses a precompiled header with this sloppiness and -fpch-preprocess.
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

# All targets share one precompiled header, so all must agree in -O, -f and -m flags: set such a flag
# for everything or for nothing. A target may add a -D of its own; the header's must be in all.
function(rahf_precompile target)
  if(NOT RAHF_PCH)
    return()
  endif()
  if(NOT TARGET rahf_precompiled)
    file(WRITE ${PROJECT_BINARY_DIR}/rahf_precompiled.cpp "")
    add_library(rahf_precompiled OBJECT ${PROJECT_BINARY_DIR}/rahf_precompiled.cpp)
    target_link_libraries(rahf_precompiled PRIVATE torch torch_library OpenMP::OpenMP_CXX)
    target_compile_features(rahf_precompiled PRIVATE cxx_std_20)
    rahf_precompile(rahf_precompiled)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    target_compile_options(${target} PRIVATE -fpch-preprocess)
  endif()
  if(target STREQUAL rahf_precompiled)
    target_precompile_headers(${target} PRIVATE <torch/nn/cloneable.h> <torch/types.h>)
  else()
    target_precompile_headers(${target} REUSE_FROM rahf_precompiled)
  endif()
endfunction()

# mold links in a fifth of the time; GCC knows it since version 12.
find_program(MOLD mold)
if(MOLD)
  include(CheckLinkerFlag)
  check_linker_flag(CXX -fuse-ld=mold RAHF_MOLD_WORKS)
  if(RAHF_MOLD_WORKS)
    add_link_options(-fuse-ld=mold)
  endif()
endif()
