// Score rows of numbers: predict model.onnx 5.1 3.5 1.4 0.2, in the order of the model's inputs.
// c++ -std=c++17 predict.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o predict
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  Ort::Env env;
  Ort::Session session(env, argv[1], Ort::SessionOptions{});
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::AllocatorWithDefaultOptions allocator;

  const size_t n = session.GetInputCount();
  const std::array<int64_t, 2> shape{1, 1};
  std::vector<std::string> names;
  std::vector<float> row(n);
  for (size_t i = 0; i < n; ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    row[i] = i + 2 < static_cast<size_t>(argc) ? std::strtof(argv[i + 2], nullptr) : NAN;  // NaN: missing
  }
  std::vector<const char*> inputs;
  std::vector<Ort::Value> cells;
  for (size_t i = 0; i < n; ++i) {
    inputs.push_back(names[i].c_str());
    cells.push_back(Ort::Value::CreateTensor<float>(memory, &row[i], 1, shape.data(), shape.size()));
  }

  const char* outputs[] = {"label", "probabilities"};
  auto answers = session.Run(Ort::RunOptions{nullptr}, inputs.data(), cells.data(), n, outputs, 2);
  const size_t classes = answers[1].GetTensorTypeAndShapeInfo().GetElementCount();
  std::cout << answers[0].GetStringTensorElement(0);
  for (size_t k = 0; k < classes; ++k) std::cout << ' ' << answers[1].GetTensorData<float>()[k];
  std::cout << '\n';
}
