# ONNX Runtime, as the imported target ONNXRuntime::ONNXRuntime.
#
# Looked for in ONNXRUNTIME_ROOT (a variable of CMake or of the environment: a directory with include/ and lib/), then
# in what find_package(onnxruntime) of ONNX Runtime's own installation knows, then in the system's places.

if(NOT ONNXRUNTIME_ROOT AND DEFINED ENV{ONNXRUNTIME_ROOT})
  set(ONNXRUNTIME_ROOT "$ENV{ONNXRUNTIME_ROOT}")
endif()

if(NOT ONNXRUNTIME_ROOT)
  find_package(onnxruntime CONFIG QUIET)
endif()

if(TARGET onnxruntime::onnxruntime)
  get_target_property(_onnxruntime_include onnxruntime::onnxruntime INTERFACE_INCLUDE_DIRECTORIES)
  set(ONNXRuntime_LIBRARY onnxruntime::onnxruntime)
  # Packages of ONNX Runtime disagree on whether their headers lie in this directory or one below.
  find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h HINTS ${_onnxruntime_include}
    PATH_SUFFIXES onnxruntime onnxruntime/core/session)
else()
  find_path(ONNXRuntime_INCLUDE_DIR onnxruntime_cxx_api.h HINTS "${ONNXRUNTIME_ROOT}"
    PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session onnxruntime onnxruntime/core/session)
  find_library(ONNXRuntime_LIBRARY onnxruntime HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib lib64)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(ONNXRuntime REQUIRED_VARS ONNXRuntime_LIBRARY ONNXRuntime_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "set ONNXRUNTIME_ROOT to a directory with its include/ and lib/")

if(ONNXRuntime_FOUND AND NOT TARGET ONNXRuntime::ONNXRuntime)
  add_library(ONNXRuntime::ONNXRuntime INTERFACE IMPORTED)
  target_include_directories(ONNXRuntime::ONNXRuntime INTERFACE "${ONNXRuntime_INCLUDE_DIR}")
  target_link_libraries(ONNXRuntime::ONNXRuntime INTERFACE "${ONNXRuntime_LIBRARY}")
endif()
mark_as_advanced(ONNXRuntime_INCLUDE_DIR ONNXRuntime_LIBRARY)
