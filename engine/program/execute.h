// SPDX-License-Identifier: Apache-2.0
// Runs a plan. Nothing here throws: what could fail has failed when the plan was made or opened.
#ifndef BITLENS_PROGRAM_EXECUTE_H_
#define BITLENS_PROGRAM_EXECUTE_H_

#include <vector>

#include "kernels/conv/conv.h"
#include "kernels/epilogue/epilogue.h"
#include "kernels/load/load.h"
#include "kernels/pool/pool.h"
#include "kernels/tensor.h"
#include "program/plan.h"

namespace bitlens {

// One run's memory: the plan's tensors placed in an arena.
class Arena {
 public:
  Arena(const uint8_t* plan, uint8_t* memory);
  const Tensor& operator[](uint32_t tensor) const { return tensors_[tensor]; }

 private:
  std::vector<Tensor> tensors_;
};

// A plan with its kernels found; read-only, so that any number of threads may run it.
class Runner {
 public:
  // `plan` must outlive the runner. Throws Error when this build or processor lacks a kernel.
  Runner(const uint8_t* plan, size_t bytes);

  const PlanHeader& header() const { return *reinterpret_cast<const PlanHeader*>(plan_); }
  const uint8_t* plan() const { return plan_; }
  template <typename T>
  const T* array(const PlanArray& array) const {
    return reinterpret_cast<const T*>(plan_ + array.offset);
  }
  const char* text(uint64_t offset) const { return reinterpret_cast<const char*>(plan_ + offset); }

  // Runs all steps for one image. Worker w of a step uses scratch + w * scratch_bytes.
  void run(const Arena& arena, uint8_t* scratch, int threads) const;

  // Copies a tensor's integers out, (H, W, C).
  void read(const Tensor& tensor, int32_t* out) const;

  const LoadFunction* loads() const { return loads_; }

 private:
  struct Step {
    const PlanStep* plan;
    ConvFunction conv;
    EpilogueFunction epilogue;
    PoolFunction pool;
  };

  void run_step(const Step& step, const Arena& arena, uint8_t* scratch, int threads) const;

  const uint8_t* plan_;
  std::vector<Step> steps_;
  LoadFunction loads_[3];  // by Storage
};

}  // namespace bitlens

#endif  // BITLENS_PROGRAM_EXECUTE_H_
