// SPDX-License-Identifier: Apache-2.0
// bitlens-run: runs a .bitlens file on raw input files and prints the output integers.
//
//   bitlens-run digits.bitlens images.u8 --threads 2
//   logits 0: -12 40 7 ...
//
// An input file holds whole images (height, width, channels), one byte an integer (four, little-endian, with --i32). A
// program with several inputs takes one file for each, in order. Exit code 2 and one line on standard error for a
// mistake.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bitlens.h"

namespace {

const char kUsage[] =
    "usage: bitlens-run MODEL INPUT... [--threads N] [--isa portable|avx2|avx512|neon] [--size HEIGHTxWIDTH] [--i32] "
    "[--describe]\n";

struct Arguments {
  std::vector<const char*> files;
  bitlens_options options{};
  bool words = false;
  bool describe = false;
};

[[noreturn]] void stop(const std::string& message) {
  std::fprintf(stderr, "bitlens-run: %s\n", message.c_str());
  std::exit(2);
}

int positive(const char* option, const char* text) {
  char* end = nullptr;
  const long value = text == nullptr ? 0 : std::strtol(text, &end, 10);
  if (text == nullptr || *end != '\0' || value < 1 || value > 1 << 20) {
    stop(std::string(option) + ": must be a positive number, not " + (text == nullptr ? "nothing" : text));
  }
  return static_cast<int>(value);
}

void read_size(const char* text, bitlens_options* options) {
  if (text == nullptr || std::sscanf(text, "%dx%d", &options->height, &options->width) != 2) {
    stop(std::string("--size: must be HEIGHTxWIDTH, not ") + (text == nullptr ? "nothing" : text));
  }
}

Arguments read_arguments(char** argv) {
  Arguments arguments;
  for (char** word = argv + 1; *word != nullptr; ++word) {
    if (std::strcmp(*word, "--help") == 0) {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (std::strcmp(*word, "--i32") == 0) {
      arguments.words = true;
    } else if (std::strcmp(*word, "--describe") == 0) {
      arguments.describe = true;
    } else if (std::strcmp(*word, "--threads") == 0) {
      arguments.options.threads = positive("--threads", word[1]);
      ++word;
    } else if (std::strcmp(*word, "--isa") == 0) {
      if (word[1] == nullptr) stop("--isa: must be portable, avx2, avx512 or neon, not nothing");
      arguments.options.isa = *++word;
    } else if (std::strcmp(*word, "--size") == 0) {
      read_size(word[1], &arguments.options);
      ++word;
    } else if (std::strncmp(*word, "--", 2) == 0) {
      stop(std::string("option must be one of --threads, --isa, --size, --i32, --describe, not ") + *word);
    } else {
      arguments.files.push_back(*word);
    }
  }
  return arguments;
}

std::vector<unsigned char> read_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) stop(std::string(path) + ": file must be readable");
  std::vector<unsigned char> bytes;
  unsigned char block[1 << 16];
  size_t count;
  while ((count = std::fread(block, 1, sizeof block, file)) > 0) bytes.insert(bytes.end(), block, block + count);
  std::fclose(file);
  return bytes;
}

void describe(const bitlens_model* model) {
  for (size_t i = 0; i < bitlens_input_count(model); ++i) {
    const bitlens_tensor t = bitlens_input(model, i);
    std::printf("input %s %dx%dx%d [%d, %d] by %d\n", t.name, t.height, t.width, t.channels, t.lo, t.hi, t.step);
  }
  for (size_t i = 0; i < bitlens_layer_count(model); ++i) {
    const bitlens_layer l = bitlens_layer_at(model, i);
    std::printf("layer %s %s %s %s %dx%dx%d -> %dx%dx%d\n", l.name, l.op, l.kernel, l.storage, l.in_height, l.in_width,
                l.in_channels, l.out_height, l.out_width, l.out_channels);
  }
  std::printf("arena %zu bytes, %d threads\n", bitlens_arena_bytes(model), bitlens_threads(model));
}

// How many whole images all the input files hold.
size_t count_images(const bitlens_model* model, const Arguments& arguments,
                    const std::vector<std::vector<unsigned char>>& data, std::vector<bitlens_view>* views) {
  size_t images = 0;
  for (size_t i = 0; i < data.size(); ++i) {
    const bitlens_tensor t = bitlens_input(model, i);
    const int64_t row = int64_t{t.width} * t.channels;
    const auto image_bytes = static_cast<size_t>(row * t.height) * (arguments.words ? 4 : 1);
    const char* path = arguments.files[i + 1];
    if (data[i].empty() || data[i].size() % image_bytes != 0) {
      stop(std::string(path) + ": size must be a multiple of " + std::to_string(image_bytes) + " bytes, not " +
           std::to_string(data[i].size()));
    }
    const size_t here = data[i].size() / image_bytes;
    if (i > 0 && here != images) {
      stop(std::string(path) + ": must hold " + std::to_string(images) + " images, not " + std::to_string(here));
    }
    images = here;
    views->push_back({data[i].data(), arguments.words ? BITLENS_I32 : BITLENS_U8, row * t.height, row, t.channels});
  }
  return images;
}

int run(bitlens_model* model, const Arguments& arguments) {
  std::vector<std::vector<unsigned char>> data;
  for (size_t i = 1; i < arguments.files.size(); ++i) data.push_back(read_file(arguments.files[i]));
  if (data.size() != bitlens_input_count(model)) {
    stop(std::string(arguments.files[0]) + ": input files must be " + std::to_string(bitlens_input_count(model)) +
         ", not " + std::to_string(data.size()));
  }
  std::vector<bitlens_view> views;
  const size_t images = count_images(model, arguments, data, &views);
  std::vector<std::vector<int32_t>> results;
  std::vector<int32_t*> outputs;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < bitlens_output_count(model); ++i) {
    const bitlens_tensor t = bitlens_output(model, i);
    sizes.push_back(static_cast<size_t>(t.height) * static_cast<size_t>(t.width) * static_cast<size_t>(t.channels));
    results.emplace_back(images * sizes.back());
  }
  for (auto& result : results) outputs.push_back(result.data());
  bitlens_status status;
  if (bitlens_run(model, images, views.data(), outputs.data(), nullptr, &status) != BITLENS_OK) stop(status.message);
  for (size_t i = 0; i < results.size(); ++i) {
    for (size_t image = 0; image < images; ++image) {
      std::printf("%s %zu:", bitlens_output(model, i).name, image);
      for (size_t k = 0; k < sizes[i]; ++k) std::printf(" %d", results[i][image * sizes[i] + k]);
      std::printf("\n");
    }
  }
  return 0;
}

}  // namespace

int main(int, char** argv) {
  const Arguments arguments = read_arguments(argv);
  if (arguments.files.empty()) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  bitlens_model* model;
  bitlens_status status;
  if (bitlens_open_file(arguments.files[0], &arguments.options, &model, &status) != BITLENS_OK) stop(status.message);
  if (arguments.describe) describe(model);
  const int code = arguments.describe && arguments.files.size() == 1 ? 0 : run(model, arguments);
  bitlens_close(model);
  return code;
}
