{
  "targets": [
    {
      "target_name": "hypervisor",
      "include_dirs": [
        "<!(node -p \"require('node-addon-api').include_dir\")",
        "<!(node -p \"require('node:module').findPackageJSON('@tsvmm/base', process.cwd() + '/binding.gyp').replace('package.json', 'native')\")"
      ],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "conditions": [
        ["OS=='linux'", {
          "sources": [
            "native/addon.cc",
            "native/calls.cc",
            "native/calls-<(target_arch).cc",
            "native/memory.cc",
            "native/objects.cc",
            "native/vcpu.cc"
          ],
          "cflags_cc": ["-std=c++20", "-fexceptions", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-cast-function-type"],
          "cflags_cc!": ["-fno-exceptions"],
          "defines": ["_GNU_SOURCE", "_FILE_OFFSET_BITS=64"],
          "ldflags": ["-Wl,-z,nodelete"]
        }]
      ]
    }
  ]
}
