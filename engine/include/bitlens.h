/* SPDX-License-Identifier: Apache-2.0
 *
 * bitlens engine, C API: open a .bitlens file, describe it, run it, close it.
 *
 *   bitlens_model* model;
 *   bitlens_status status;
 *   if (bitlens_open_file("m.bitlens", NULL, &model, &status) != BITLENS_OK) { puts(status.message); return 2; }
 *   bitlens_view image = {pixels, BITLENS_U8, height * width * 3, width * 3, 3};
 *   int32_t* outputs[1] = {logits};
 *   bitlens_run(model, 1, &image, outputs, NULL, &status);
 *   bitlens_close(model);
 *
 * Every function that can fail returns a code and writes a one-line message; nothing throws, nothing is printed,
 * nothing ends the process. A model may be run by several threads at once, unless it has a caller's arena: then the
 * second one is told that it is busy. Results never depend on the number of threads or on the processor.
 */
#ifndef BITLENS_H_
#define BITLENS_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BITLENS_API __attribute__((visibility("default")))
#else
#define BITLENS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  BITLENS_OK = 0,
  BITLENS_FORMAT = 1,   /* the file is damaged, or no program */
  BITLENS_ARGUMENT = 2, /* an option or a size that does not fit */
  BITLENS_MEMORY = 3,   /* more memory than there is, or than the limit */
  BITLENS_BUSY = 4,     /* another run uses the caller's arena */
  BITLENS_INPUT = 5     /* an input integer outside its grid */
} bitlens_code;

typedef struct {
  bitlens_code code;
  char message[1024]; /* "<layer or file>: <thing> must be <rule>, not <value>" */
} bitlens_status;

typedef struct bitlens_model bitlens_model;

/* Zero everywhere means the defaults. */
typedef struct {
  int threads;           /* 0: as many as the process may use (affinity and cgroup quota); more than 64 count as 64 */
  const char* isa;       /* "portable", "avx2", "avx512", "neon"; NULL: BITLENS_ISA, else the best of this processor */
  int height, width;     /* of inputs whose size is symbolic */
  int keep;              /* not 0: bitlens_run can return every tensor that is written to memory */
  uint64_t memory_limit; /* bytes of plan and arena together, at most 4 GiB; 0: 4 GiB */
} bitlens_options;

/* An input or output. Real value = scale * integer + offset; integers are lo, lo + step, ..., hi. */
typedef struct {
  const char* name;
  int height, width, channels;
  int32_t lo, hi, step;
  const float* scale; /* 1 or `channels` numbers */
  size_t scale_count;
  const float* offset;
  size_t offset_count;
  int rounding; /* of an input's real values (x - offset) / scale: 0 floor(v + 1/2), others as in the file format */
} bitlens_tensor;

/* One step that runs: an op, together with the requantization that ends it. */
typedef struct {
  const char* name;    /* of the op */
  const char* op;      /* such as "conv+steps" */
  const char* result;  /* the tensor that is written */
  const char* kernel;  /* such as "conv_bits_avx512" */
  const char* storage; /* of the result: "planes", "bytes", "words" */
  int in_height, in_width, in_channels;
  int out_height, out_width, out_channels;
} bitlens_layer;

typedef enum { BITLENS_U8 = 0, BITLENS_I32 = 1 } bitlens_type;

/* Integers of one input: image n, row y, pixel x, channel c is element n*image_stride + y*row_stride + x*pixel_stride +
 * c. Strides count elements; so a luma plane or a cut-out of a larger image needs no copy. */
typedef struct {
  const void* data;
  bitlens_type type;
  int64_t image_stride, row_stride, pixel_stride;
} bitlens_view;

/* Opens a model. The bytes are read, checked and planned; they are not needed afterwards. `options` may be NULL. */
BITLENS_API bitlens_code bitlens_open(const void* bytes, size_t size, const bitlens_options* options,
                                      bitlens_model** model, bitlens_status* status);
BITLENS_API bitlens_code bitlens_open_file(const char* path, const bitlens_options* options, bitlens_model** model,
                                           bitlens_status* status);
BITLENS_API void bitlens_close(bitlens_model* model);

BITLENS_API size_t bitlens_input_count(const bitlens_model* model);
BITLENS_API size_t bitlens_output_count(const bitlens_model* model);
BITLENS_API size_t bitlens_layer_count(const bitlens_model* model);
BITLENS_API size_t bitlens_kept_count(const bitlens_model* model); /* tensors returned by keep */
BITLENS_API bitlens_tensor bitlens_input(const bitlens_model* model, size_t index);
BITLENS_API bitlens_tensor bitlens_output(const bitlens_model* model, size_t index);
BITLENS_API bitlens_tensor bitlens_kept(const bitlens_model* model, size_t index);
BITLENS_API bitlens_layer bitlens_layer_at(const bitlens_model* model, size_t index);
BITLENS_API int bitlens_threads(const bitlens_model* model);

/* Memory that one run takes. A caller may lend it (64-byte aligned): then no run allocates, and one run goes at a time.
 */
BITLENS_API size_t bitlens_arena_bytes(const bitlens_model* model);
BITLENS_API bitlens_code bitlens_use_arena(bitlens_model* model, void* memory, size_t bytes, bitlens_status* status);

/* Runs `images` images. inputs: one view per input. outputs: one array (images, H, W, C) per output. kept: NULL, or one
 * such array per kept tensor. */
BITLENS_API bitlens_code bitlens_run(bitlens_model* model, size_t images, const bitlens_view* inputs,
                                     int32_t* const* outputs, int32_t* const* kept, bitlens_status* status);

/* Recurrent programs. A state is an output that is an input of the next step; a stream is one sequence in progress,
 * which keeps the states. It is used by one thread at a time (another is told that it is busy); streams of one model
 * may run at the same time. */
typedef struct bitlens_stream bitlens_stream;

typedef struct {
  size_t input, output; /* places of the state among inputs and outputs */
} bitlens_state;

BITLENS_API size_t bitlens_state_count(const bitlens_model* model);
BITLENS_API bitlens_state bitlens_state_at(const bitlens_model* model, size_t index);

/* Opens a stream at the initial integers. The model must outlive it. */
BITLENS_API bitlens_code bitlens_open_stream(bitlens_model* model, bitlens_stream** stream, bitlens_status* status);
BITLENS_API void bitlens_close_stream(bitlens_stream* stream);

/* Takes `steps` steps. inputs: one view for each input that is no state, image n of which is step n. outputs: one array
 * (steps, H, W, C) for each output that is no state. When a step is refused, none has been taken. */
BITLENS_API bitlens_code bitlens_step(bitlens_stream* stream, size_t steps, const bitlens_view* inputs,
                                      int32_t* const* outputs, bitlens_status* status);
/* Back to the initial integers. */
BITLENS_API bitlens_code bitlens_reset(bitlens_stream* stream, bitlens_status* status);
/* The integers of all states, one array (H, W, C) each. Written are all of them, or none. */
BITLENS_API bitlens_code bitlens_read_states(bitlens_stream* stream, int32_t* const* integers, bitlens_status* status);
BITLENS_API bitlens_code bitlens_write_states(bitlens_stream* stream, const int32_t* const* integers,
                                              bitlens_status* status);

/* A convolution without a program, both sides given as codes, a byte each: what training multiplies with. The integer
 * of a code c is c on the left, 2c - (2^weight_bits - 1) on the right; padding is the integer 0. Backward, codes are
 * gradients: integers 2c - (2^code_bits - 1), which meet the weights as the layer has them, (channels, kernel_h,
 * kernel_w, outputs), last tap first. */
typedef struct {
  const uint8_t* codes;   /* (images, height, width, channels), each below 2^code_bits */
  const uint8_t* weights; /* (outputs, kernel_h, kernel_w, channels), see backward; each below 2^weight_bits */
  int32_t images, height, width, channels, outputs;
  int32_t code_bits, weight_bits; /* 1 to 8 */
  int32_t backward;               /* 0 or 1 */
  int32_t kernel_h, kernel_w, stride_h, stride_w;
  int32_t pad_top, pad_left, pad_bottom, pad_right;
} bitlens_product;

/* Writes sums, (images, out height, out width, outputs). options: threads and isa count; NULL: the defaults. */
BITLENS_API bitlens_code bitlens_multiply(const bitlens_product* product, const bitlens_options* options, int32_t* sums,
                                          bitlens_status* status);

/* The gradient of a layer's weights: activations times gradients, summed over all positions of the map. The integer of
 * a code c is c of an activation, 2c - (2^gradient_bits - 1) of a gradient; padding is the integer 0. */
typedef struct {
  const uint8_t* activations; /* (images, height, width, channels), each below 2^activation_bits */
  const uint8_t* gradients;   /* (images, out_height, out_width, outputs), each below 2^gradient_bits */
  int32_t images, height, width, channels, out_height, out_width, outputs;
  int32_t activation_bits, gradient_bits; /* 1 to 8 */
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
} bitlens_weight_gradient;

/* Writes the sums of every image, (images, kernel_h, kernel_w, channels, outputs). */
BITLENS_API bitlens_code bitlens_weight_sums(const bitlens_weight_gradient* gradient, const bitlens_options* options,
                                             int32_t* sums, bitlens_status* status);

/* Writes one array (kernel_h, kernel_w, channels, outputs): over the images in order, the double sum of scales[image]
 * times the image's exact sums, rounded to float once. The same on every machine and with any number of threads. */
BITLENS_API bitlens_code bitlens_weight_total(const bitlens_weight_gradient* gradient, const float* scales,
                                              const bitlens_options* options, float* total, bitlens_status* status);

#ifdef __cplusplus
}
#endif

#endif /* BITLENS_H_ */
