/// A bundle: a directory that manifest.json vouches for file by file.
#pragma once

#include <string>
#include <vector>

#include "bundles/manifest.h"
#include "bundles/output_vocabulary.h"
#include "s2t/options.h"

namespace s2t {

class Bundle {
  public:
    /// Open a bundle and check its files against its manifest.
    ///
    /// Throws BundleError: not a bundle, a newer or malformed manifest, a path that leaves the bundle, or files
    /// that are missing or altered, behind whatever links; the message names them.
    static Bundle open(const std::string& path, LoadOptions::Verify verify);

    const std::string& root() const { return root_; }
    const Manifest& manifest() const { return manifest_; }

    /// Where a file of the manifest lies. Throws BundleError: the manifest names no such file.
    std::string path_of(const std::string& relative) const;

    /// The files of weights in a graph's folder, each of which the manifest vouches for.
    std::vector<std::string> weights_beside(const std::string& graph) const;

    /// The ids that the decoder can write. Throws BundleError: the file that lists them holds something else.
    OutputVocabulary output_vocabulary() const;

    /// The three graphs of a precision. Throws OptionError: the bundle does not have it.
    const PrecisionInfo& precision(const std::string& name) const;

  private:
    std::string root_;
    Manifest manifest_;
};

}  // namespace s2t
