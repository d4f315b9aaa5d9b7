// Score a row of numbers. Swift package: https://github.com/microsoft/onnxruntime-swift-package-manager
import Foundation
import OnnxRuntimeBindings

let arguments = CommandLine.arguments
let env = try ORTEnv(loggingLevel: .warning)
let session = try ORTSession(env: env, modelPath: arguments[1], sessionOptions: nil)

var inputs: [String: ORTValue] = [:]
for (i, name) in try session.inputNames().enumerated() {
    var cell = i + 2 < arguments.count ? Float(arguments[i + 2]) ?? .nan : .nan  // NaN: missing
    let data = NSMutableData(bytes: &cell, length: MemoryLayout<Float>.size)
    inputs[name] = try ORTValue(tensorData: data, elementType: .float, shape: [1, 1])
}
let answers = try session.run(withInputs: inputs, outputNames: ["label", "probabilities"], runOptions: nil)
let label = try answers["label"]!.tensorStringData()[0]
let probabilities = try answers["probabilities"]!.tensorData() as Data
print(label, probabilities.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) })
