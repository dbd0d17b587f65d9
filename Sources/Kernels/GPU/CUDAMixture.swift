extension CUDADevice {
    package func addMixture(
        _ x: CUDAActivation, router: CUDAMatrix, gateUp: [CUDAMatrix], down: [CUDAMatrix], _ shape: MixtureShape,
        to y: CUDAActivation
    ) {
        attempt { () throws(DeviceError) in throw .unsupported("mixtures of experts on a GPU") }
    }
}
