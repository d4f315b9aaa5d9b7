// Score a row of numbers: java -cp onnxruntime.jar:. Predict model.onnx 5.1 3.5 1.4 0.2
// Maven: com.microsoft.onnxruntime:onnxruntime
import ai.onnxruntime.*;
import java.util.*;

public class Predict {
    public static void main(String[] args) throws OrtException {
        OrtEnvironment env = OrtEnvironment.getEnvironment();
        try (OrtSession session = env.createSession(args[0], new OrtSession.SessionOptions())) {
            Map<String, OnnxTensor> inputs = new LinkedHashMap<>();
            int i = 1;
            for (String name : session.getInputNames()) {
                float cell = i < args.length ? Float.parseFloat(args[i]) : Float.NaN;  // NaN: missing
                inputs.put(name, OnnxTensor.createTensor(env, new float[][] {{cell}}));
                i++;
            }
            try (OrtSession.Result answers = session.run(inputs)) {
                String[] label = (String[]) answers.get("label").get().getValue();
                float[][] probabilities = (float[][]) answers.get("probabilities").get().getValue();
                System.out.println(label[0] + " " + Arrays.toString(probabilities[0]));
            }
        }
    }
}
