# What rahf links, found the same way by the build and by the installed package.

set(kineto_LIBRARY torch)  # Else TorchConfig warns that this optional part is missing.
find_package(Torch REQUIRED)
if(TARGET caffe2::mkl)  # Without MKL it names folders such as /lib/intel64, which get into rpaths.
  set_property(TARGET caffe2::mkl PROPERTY INTERFACE_LINK_DIRECTORIES)
endif()

# A second OpenMP runtime in one process means two thread pools: take LibTorch's where it has one.
file(GLOB OpenMP_gomp_LIBRARY ${TORCH_INSTALL_PREFIX}/lib/libgomp*.so*)
if(NOT OpenMP_gomp_LIBRARY)
  unset(OpenMP_gomp_LIBRARY)
endif()
find_package(OpenMP REQUIRED)

find_package(Boost 1.70 REQUIRED COMPONENTS program_options)
find_package(Eigen3 3.3 REQUIRED NO_MODULE)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Threads REQUIRED)

# These come with pkg-config files, or with nothing at all.
find_package(PkgConfig REQUIRED)
pkg_check_modules(rahf_webp REQUIRED IMPORTED_TARGET GLOBAL libwebp)
pkg_check_modules(rahf_sentencepiece REQUIRED IMPORTED_TARGET GLOBAL sentencepiece)
pkg_check_modules(rahf_utf8proc REQUIRED IMPORTED_TARGET GLOBAL libutf8proc)

# HDF5's C library. Its own find module needs the C language and compiler wrappers; pkg-config is
# enough where the distribution has it.
pkg_check_modules(rahf_hdf5 IMPORTED_TARGET GLOBAL hdf5)
if(NOT TARGET PkgConfig::rahf_hdf5)
  find_package(HDF5 REQUIRED COMPONENTS C)
  add_library(rahf_hdf5_c INTERFACE IMPORTED GLOBAL)
  target_include_directories(rahf_hdf5_c INTERFACE ${HDF5_C_INCLUDE_DIRS})
  target_link_libraries(rahf_hdf5_c INTERFACE ${HDF5_C_LIBRARIES})
  add_library(PkgConfig::rahf_hdf5 ALIAS rahf_hdf5_c)
endif()
