/// All of the library.
#pragma once

#include "s2t/errors.h"
#include "s2t/model.h"
#include "s2t/options.h"
#include "s2t/recording.h"
#include "s2t/result.h"
#include "s2t/span.h"
