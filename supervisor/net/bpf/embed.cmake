# INPUT's bytes as the array that forward_object.h declares, in OUTPUT.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)"
       "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"supervisor/net/bpf/forward_object.h\"\n\nnamespace icon::net {\n\n"
     "alignas(8) const unsigned char kForwardObject[] = {\n${bytes}};\n"
     "const std::size_t kForwardObjectBytes = sizeof kForwardObject;\n\n}  // namespace icon::net\n")
