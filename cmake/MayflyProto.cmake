# SPDX-License-Identifier: Apache-2.0
#
# protobuf-c code from .proto files, into the build folder.
find_program(PROTOC protoc REQUIRED)
find_program(PROTOC_GEN_C protoc-gen-c REQUIRED)

# protoc-gen-c (1.4 and 1.5 alike) does not say that it handles proto3 `optional`, which it does, as
# a oneof of one; a wrapper says it (CodeGeneratorResponse.supported_features = 1).
set(protoc_gen_c_wrapper ${CMAKE_BINARY_DIR}/protoc-gen-c-optional)
file(WRITE ${protoc_gen_c_wrapper} "#!/bin/sh\n'${PROTOC_GEN_C}' && printf '\\020\\001'\n")
file(CHMOD ${protoc_gen_c_wrapper} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)

# mayfly_proto(target root proto...): a static library of the generated code.
function(mayfly_proto target root)
  set(out ${CMAKE_BINARY_DIR}/gen)
  file(MAKE_DIRECTORY ${out})
  set(generated)
  foreach(proto ${ARGN})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(c ${out}/${stem}.pb-c.c)
    set(h ${out}/${stem}.pb-c.h)
    add_custom_command(
      OUTPUT ${c} ${h}
      COMMAND ${PROTOC} --plugin=protoc-gen-c=${protoc_gen_c_wrapper}
              -I${root} -I/usr/include --c_out=${out} ${root}/${proto}
      DEPENDS ${root}/${proto} VERBATIM)
    list(APPEND generated ${c} ${h})
  endforeach()
  add_library(${target} STATIC ${generated})
  target_include_directories(${target} SYSTEM PUBLIC ${out})
  target_compile_options(${target} PRIVATE -w)
  target_link_libraries(${target} PUBLIC protobuf-c)
endfunction()
