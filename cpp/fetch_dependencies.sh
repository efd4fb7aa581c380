#!/usr/bin/env bash
# What building cpp/ needs and the system may lack, unpacked below a directory of ours; nothing is installed.
#
#   cpp/fetch_dependencies.sh DIRECTORY ONNXRUNTIME_WHEEL_CAPI     headers and libraries for `make cpp`
#   cpp/fetch_dependencies.sh DIRECTORY --clang                    clang with libFuzzer for `make fuzz-cpp`
#
# Leaves DIRECTORY/prefix (nlohmann_json, doctest, soxr) and DIRECTORY/onnxruntime/{include,lib}; with --clang
# DIRECTORY/clang++ instead. Headers of ONNX Runtime come with a newer Debian than 12, as one package; its library
# is that of the installed Python package, whose C interface serves older headers.
set -euo pipefail

directory=$(mkdir -p "$1" && cd "$1" && pwd)
what=$2
onnxruntime_suite=trixie

command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
  echo "apt-get is needed to fetch the dependencies of cpp/, and this system has none; wanted a Debian. Elsewhere" \
    "install nlohmann_json, doctest and ONNX Runtime and call cmake: docs/cpp.md says how" >&2
  exit 1
}

# apt with lists and archives of its own: it works for any user, and the system's lists stay as they are.
apt_home=$directory/apt
mkdir -p "$apt_home"/{lists/partial,archives/partial,parts}
codename=$(. /etc/os-release && echo "${VERSION_CODENAME}")
mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
  awk -v release="$codename" '$2 == release { print $1; exit }')
[ -n "$mirror" ] || {
  echo "apt-get knows no source for $codename, wanted one in /etc/apt; add Debian's own" >&2
  exit 1
}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in "$codename" "$onnxruntime_suite"; do
  echo "deb [signed-by=$keyring] $mirror $suite main"
done | sort -u >"$apt_home/sources.list"
options=(-q -o "Dir::State::lists=$apt_home/lists" -o "Dir::Cache=$apt_home" -o "Dir::Cache::archives=$apt_home/archives"
  -o "Dir::Etc::sourcelist=$apt_home/sources.list" -o "Dir::Etc::sourceparts=$apt_home/parts"
  -o "APT::Default-Release=$codename" -o "APT::Sandbox::User=$(id -un)" -o Debug::NoLocking=true)
apt=(apt-get "${options[@]}")
"${apt[@]}" update >/dev/null

fetch() { # fetch PREFIX PACKAGE...: download packages and unpack them
  local prefix=$1 package
  shift
  rm -rf "$apt_home/new" && mkdir -p "$apt_home/new" "$prefix"
  (cd "$apt_home/new" && "${apt[@]}" download "$@" >/dev/null)
  for package in "$apt_home"/new/*.deb; do dpkg-deb -x "$package" "$prefix"; done
}

if [ "$what" = --clang ]; then
  # The release's own clang, with what it needs and the system lacks.
  version=$(apt-cache "${options[@]}" depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
  packages=$("${apt[@]}" install --simulate --no-install-recommends \
    "clang-$version" "libclang-rt-$version-dev" "libfuzzer-$version-dev" | awk '$1 == "Inst" { print $2 }')
  [ -z "$packages" ] || fetch "$directory/clang" $packages
  llvm=$directory/clang/usr/lib/llvm-$version
  [ -x "$llvm/bin/clang++" ] || llvm=/usr/lib/llvm-$version
  cat >"$directory/clang++" <<END
#!/bin/sh
LD_LIBRARY_PATH="$llvm/lib:$directory/clang/usr/lib/$(gcc -dumpmachine)\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$llvm/bin/clang++" "\$@"
END
  chmod +x "$directory/clang++"
else
  fetch "$directory/prefix" nlohmann-json3-dev doctest-dev libsoxr-dev libsoxr0
  fetch "$directory/unpacked" "libonnxruntime-dev/$onnxruntime_suite"
  library=$(find "$what" -name 'libonnxruntime.so.1.*' | sort -V | tail -1)
  [ -n "$library" ] || {
    echo "$what holds no libonnxruntime.so.1.*, wanted that of the installed onnxruntime; run make venv" >&2
    exit 1
  }
  mkdir -p "$directory/onnxruntime/lib"
  rm -rf "$directory/onnxruntime/include"
  cp -r "$(dirname "$(find "$directory/unpacked" -name onnxruntime_cxx_api.h)")" "$directory/onnxruntime/include"
  # The wheel has the file, but neither the name that programs ask for nor the one that linkers look for.
  ln -sf "$(realpath "$library")" "$directory/onnxruntime/lib/libonnxruntime.so.1"
  ln -sf libonnxruntime.so.1 "$directory/onnxruntime/lib/libonnxruntime.so"
fi
