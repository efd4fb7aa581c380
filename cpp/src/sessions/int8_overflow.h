/// Whether ONNX Runtime's products of uint8 with int8 are exact on this processor, found by computing one.
#pragma once

#include "sessions/onnx_values.h"

namespace s2t {

/// Compute the largest product that there is, once a process, and see whether it comes out.
///
/// x86 processors without VNNI multiply uint8 with int8 by an instruction that adds pairs of products in 16 bits and
/// cuts off what is beyond. There "session.x64quantprecision" makes ONNX Runtime take uint8 for both factors; elsewhere
/// it would cost speed and memory for nothing, and ONNX Runtime does not look at that itself.
bool products_overflow(const Ort::Env& env);

}  // namespace s2t
