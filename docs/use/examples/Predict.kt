// Score a row of numbers. Gradle: com.microsoft.onnxruntime:onnxruntime (Android: onnxruntime-android)
import ai.onnxruntime.*

fun main(args: Array<String>) {
    val env = OrtEnvironment.getEnvironment()
    env.createSession(args[0]).use { session ->
        val inputs = session.inputNames.withIndex().associate { (i, name) ->
            val cell = args.getOrNull(i + 1)?.toFloat() ?: Float.NaN  // NaN: missing
            name to OnnxTensor.createTensor(env, arrayOf(floatArrayOf(cell)))
        }
        session.run(inputs).use { answers ->
            val label = (answers["label"].get().value as Array<*>)[0]
            @Suppress("UNCHECKED_CAST")
            val probabilities = (answers["probabilities"].get().value as Array<FloatArray>)[0]
            println("$label ${probabilities.joinToString(" ")}")
        }
    }
}
