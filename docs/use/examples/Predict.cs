// Score a row of numbers: dotnet run model.onnx 5.1 3.5 1.4 0.2
// NuGet: Microsoft.ML.OnnxRuntime
using System.Globalization;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

using var session = new InferenceSession(args[0]);
var inputs = new List<NamedOnnxValue>();
var i = 1;
foreach (var name in session.InputNames)
{
    var cell = i < args.Length ? float.Parse(args[i], CultureInfo.InvariantCulture) : float.NaN; // NaN: missing
    inputs.Add(NamedOnnxValue.CreateFromTensor(name, new DenseTensor<float>(new[] { cell }, new[] { 1, 1 })));
    i++;
}
using var answers = session.Run(inputs, new[] { "label", "probabilities" });
var label = answers[0].AsTensor<string>()[0];
var probabilities = answers[1].AsTensor<float>();
Console.WriteLine($"{label} {string.Join(' ', probabilities)}");
