# SPDX-License-Identifier: Apache-2.0
#
# Language, warnings and sanitizers: the same for every target.
include(GNUInstallDirs)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Assertions stay on in what is shipped: a broken invariant ends the agent, whose next start is clean.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

set(MAYFLY_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
option(MAYFLY_FUZZ "Build the fuzz targets with libFuzzer (clang)" OFF)
option(MAYFLY_COVERAGE "Instrument for coverage" OFF)
option(MAYFLY_WERROR "Warnings are errors" ON)

add_library(mayfly_flags INTERFACE)
target_compile_options(mayfly_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
  -Wwrite-strings -Wvla -Wformat=2 -Wimplicit-fallthrough -Wno-missing-field-initializers
  $<$<C_COMPILER_ID:Clang>:-Wno-implicit-fallthrough> # it cannot read uthash's comments
  -Werror=implicit-function-declaration -Werror=incompatible-pointer-types
  -Werror=int-conversion -Werror=return-type -Werror=overflow
  -fno-strict-aliasing -fstack-protector-strong -fno-common
  $<$<BOOL:${MAYFLY_WERROR}>:-Werror>)
target_compile_definitions(mayfly_flags INTERFACE _GNU_SOURCE
  MAYFLY_VERSION="${PROJECT_VERSION}")
target_include_directories(mayfly_flags INTERFACE
  ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/lib ${CMAKE_SOURCE_DIR})

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
  target_compile_definitions(mayfly_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

if(MAYFLY_SANITIZE)
  add_compile_options(-fsanitize=${MAYFLY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MAYFLY_SANITIZE})
endif()
if(MAYFLY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(MAYFLY_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()

find_package(PkgConfig REQUIRED)

# mayfly_package(name pkg-config-module): an imported target mayfly_pkg_<name>.
function(mayfly_package name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
  add_library(mayfly_pkg_${name} ALIAS PkgConfig::${name})
endfunction()

# mayfly_room(target dependencies...): a static library of all .c files of this folder.
function(mayfly_room target)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    return() # a room without walls yet; what needs it is left out
  endif()
  add_library(${target} STATIC ${sources})
  target_link_libraries(${target} PUBLIC mayfly_flags ${ARGN})
endfunction()

# mayfly_unit_test(name dependencies...): tests/unit style cmocka program name.c in this folder.
function(mayfly_unit_test name)
  add_executable(${name} ${name}.c)
  target_link_libraries(${name} PRIVATE mayfly_flags ${ARGN} cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()
