# Turns cpp/sentences.json into rows of a C++ table: {"id", "text"}, one a line.

function(s2t_table_rows json key variable)
  string(JSON count LENGTH "${json}" ${key})
  math(EXPR last "${count} - 1")
  set(rows "")
  foreach(index RANGE ${last})
    string(JSON id MEMBER "${json}" ${key} ${index})
    string(JSON text GET "${json}" ${key} "${id}")
    string(APPEND rows "    {\"${id}\", R\"s2t(${text})s2t\"},\n")
  endforeach()
  set(${variable} "${rows}" PARENT_SCOPE)
endfunction()
