/// Weights handed to ONNX Runtime as bytes: those behind links, and all where nothing is to stay mapped.
///
/// Where the real file of a graph and that of its weights lie in different folders, newer versions of ONNX Runtime
/// refuse the weights ("External data path escapes model directory"). Which links a bundle may have is decided and
/// checked when it is opened, so the files are mapped here, and ONNX Runtime is told their names.
#pragma once

#include <string>
#include <vector>

#include "bundles/mapped_file.h"
#include "sessions/onnx_values.h"

namespace s2t {

/// Tell the options of a session where a graph's weights are in memory, where links would keep ONNX Runtime from them.
/// The result, empty where no file is a link, has to live until the session is made. Throws SessionError.
std::vector<MappedFile> linked_weights(Ort::SessionOptions& options, const std::string& graph,
                                       const std::vector<std::string>& weights);

/// The same of files that are read whole, so that no file is mapped. Throws SessionError.
std::vector<std::string> read_weights(Ort::SessionOptions& options, const std::vector<std::string>& weights);

}  // namespace s2t
