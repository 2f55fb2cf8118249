# Has GLib write and read GVariants. Each line of the input is a JSON list of a type string, a value in GVariant's text
# format, and the bytes, in hex, that somebody else made of it. Each line of the output: the bytes that GLib makes of the
# text, in hex; whether GLib takes the other bytes for normal; whether both are the same value to it.
import ctypes
import json
import sys

glib = ctypes.CDLL("libglib-2.0.so.0")
pointer, size = ctypes.c_void_p, ctypes.c_size_t


def function(name, result, *arguments):
    found = getattr(glib, name)
    found.restype, found.argtypes = result, arguments
    return found


type_new = function("g_variant_type_new", pointer, ctypes.c_char_p)
parse = function("g_variant_parse", pointer, pointer, ctypes.c_char_p, pointer, pointer, pointer)
get_data = function("g_variant_get_data", pointer, pointer)
get_size = function("g_variant_get_size", size, pointer)
bytes_new = function("g_bytes_new", pointer, ctypes.c_char_p, size)
from_bytes = function("g_variant_new_from_bytes", pointer, pointer, pointer, ctypes.c_int)
is_normal = function("g_variant_is_normal_form", ctypes.c_int, pointer)
equal = function("g_variant_equal", ctypes.c_int, pointer, pointer)
unref = function("g_variant_unref", None, pointer)
unref_bytes = function("g_bytes_unref", None, pointer)
free_type = function("g_variant_type_free", None, pointer)
sink = function("g_variant_ref_sink", pointer, pointer)

for line in sys.stdin:
    signature, text, hexadecimal = json.loads(line)
    kind = type_new(signature.encode())
    value = parse(kind, text.encode(), None, None, None)
    if not value:
        sys.exit(f"GLib does not parse {text[:200]} as {signature}")
    length = get_size(value)
    data = ctypes.string_at(get_data(value), length) if length else b""
    other = bytes.fromhex(hexadecimal)
    held = bytes_new(other, len(other))
    theirs = sink(from_bytes(kind, held, 0))
    print(json.dumps([data.hex(), bool(is_normal(theirs)), bool(equal(value, theirs))]))
    for free, what in ((unref, theirs), (unref_bytes, held), (unref, value), (free_type, kind)):
        free(what)
