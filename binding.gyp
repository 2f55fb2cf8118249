{
  "targets": [
    {
      "target_name": "cfsbridge",
      "sources": ["<!@(node -p \"require('fs').readdirSync('native', { recursive: true }).filter(f => /[.]cc?$/.test(f)).map(f => 'native/' + f).join(' ')\")"],
      "include_dirs": ["native"],
      "variables": { "zstd": "<!(node -p \"require('path').dirname(require.resolve('zstd-napi/package.json'))\")/deps/zstd/lib" },
      "defines": [
        "NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS_ALL", "NODE_ADDON_API_DISABLE_DEPRECATED",
        "_GNU_SOURCE", "_FILE_OFFSET_BITS=64"
      ],
      "cflags_cc!": ["-fno-exceptions", "-std=gnu++17", "-std=gnu++20", "-fno-rtti"],
      "cflags_cc": [
        "-std=c++20", "-fexceptions", "-O3", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden",
        "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=3", "-fstack-protector-strong",
        # What others wrote is not warned about.
        "-isystem<(node_root_dir)/include/node",
        "-isystem<!(node -p \"require('path').dirname(require.resolve('node-addon-api'))\")",
        "-isystem<(zstd)"
      ],
      "cflags_c": ["-O3", "-w", "-fvisibility=hidden", "-isystem<(zstd)"],
      "cflags!": ["-O2"],
      # A thread in a call that never returns must find its code when it does.
      "ldflags": ["-Wl,-z,nodelete"]
    }
  ]
}
