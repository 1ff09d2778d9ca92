# Compiles for 64-bit ARM Linux on any machine, with the Zig of `pip install ziglang`; see tools/build_wheels.py.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER python-zig c++ -target aarch64-linux-gnu.2.17)
# The kernels need no C++ runtime, and Zig would compile its own from source first.
set(CMAKE_EXE_LINKER_FLAGS_INIT -nostdlib++)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -nostdlib++)
