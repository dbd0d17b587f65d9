import Kernels

/// Takes the tensors of linear layers that GPTQ or AWQ quantised: NAME.qweight and what belongs to it.
struct GroupedReader {
    let tensors: CheckpointTensors
    let quantization: WeightQuantization

    static func has(_ name: String, in tensors: CheckpointTensors) -> Bool { tensors.has(name + ".qweight") }

    func take(_ name: String, outputs: Int, inputs: Int) throws(ModelError) -> GroupedWeights {
        let q = quantization
        let perWord = 32 / q.bits
        let packsInputs = q.method == .gptq
        guard outputs % perWord == 0, !packsInputs || inputs % perWord == 0 else {
            throw unsupported(
                name + ".qweight",
                "\(outputs) outputs of \(inputs) inputs are no whole number of words with \(perWord) of \(q.bits) bits")
        }
        let groups = try groups(name, inputs: inputs)
        let numbers = try tensors.takeWords(
            name + ".qweight", shape: packsInputs ? [inputs / perWord, outputs] : [inputs, outputs / perWord])
        let zeros = try tensors.takeWords(name + ".qzeros", shape: [groups, outputs / perWord])
        let scales = try tensors.take(name + ".scales", shape: [groups, outputs])
        return GroupedWeights(
            name: name, packing: packsInputs ? .gptq : .awq, bits: q.bits, outputs: outputs, inputs: inputs,
            numbers: numbers, zeros: zeros, scales: scales,
            groupOf: try groupOf(name, inputs: inputs, groups: groups), zeroOffset: q.zeroOffset)
    }

    private func groups(_ name: String, inputs: Int) throws(ModelError) -> Int {
        guard let size = quantization.groupSize else { return 1 }
        guard quantization.method == .gptq || inputs % size == 0 else {
            throw malformed(name + ".qweight", "\(inputs) inputs are no whole number of groups of \(size)")
        }
        return (inputs + size - 1) / size
    }

    /// As the layer lists it, in whatever order that is; else groups follow one another.
    private func groupOf(_ name: String, inputs: Int, groups: Int) throws(ModelError) -> [Int32] {
        guard quantization.method == .gptq, tensors.has(name + ".g_idx") else {
            guard !quantization.isOrderFree || groups == 1 else {
                throw malformed(name + ".g_idx", "is missing, and desc_act is true")
            }
            let size = quantization.groupSize ?? inputs
            return (0..<inputs).map { Int32($0 / size) }
        }
        let listed = try tensors.takeWords(name + ".g_idx", shape: [inputs]).values
        for (input, group) in listed.enumerated() where !(0..<groups).contains(Int(group)) {
            throw malformed(name + ".g_idx", "puts input \(input) into group \(group) of \(groups)")
        }
        return listed
    }

    /// Older exporters give every layer a bias, which is zero where the model has none.
    func checkNoBias(_ name: String, outputs: Int) throws(ModelError) {
        guard tensors.has(name + ".bias") else { return }
        guard try tensors.takeVector(name + ".bias", count: outputs).allSatisfy({ $0 == 0 }) else {
            throw unsupported(name + ".bias", "is not zero, and this architecture has no bias here")
        }
    }

    private func malformed(_ tensor: String, _ reason: String) -> ModelError {
        .malformed(file: tensors.file, field: "tensor \(tensor)", reason: reason)
    }

    private func unsupported(_ tensor: String, _ reason: String) -> ModelError {
        .unsupported(file: tensors.file, field: "tensor \(tensor)", reason: reason)
    }
}
