# Handed to every package through CMAKE_PROJECT_INCLUDE where ROS 2 comes from wheels: the imported targets in
# them list include directories of the machine that built the wheels, and CMake refuses a target whose include
# directories do not exist. Once the project has found its packages, those directories are taken off again.
function(vipa_drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT directories)
      continue()
    endif()
    set(present "")
    foreach(directory IN LISTS directories)
      if(NOT IS_ABSOLUTE "${directory}" OR EXISTS "${directory}")
        list(APPEND present "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${present}")
  endforeach()
endfunction()

cmake_language(DEFER CALL vipa_drop_missing_include_directories)
