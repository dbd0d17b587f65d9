/// Launch geometry of mixture.cu, and the sizes of what its kernels hand on.
package struct CUDALaunchMixture: Sendable {
    package let rows: Int
    package let experts: Int
    package let chosen: Int
    package let hidden: Int
    /// Width between an expert's gate-up and down.
    package let inner: Int

    package init(rows: Int, experts: Int, chosen: Int, hidden: Int, inner: Int) {
        self.rows = rows
        self.experts = experts
        self.chosen = chosen
        self.hidden = hidden
        self.inner = inner
    }

    /// Most experts that mr_mixture_route takes.
    package static let expertLimit = 1024

    /// All rows' choices together: rows of the buffers between the kernels; elements of choices, weights, members
    /// and slots.
    package var choices: Int { rows * chosen }

    /// Rows of a tile: what an expert has on average.
    package var tokens: Int {
        switch choices / experts {
        case ..<12: 16
        case ..<28: 32
        default: 64
        }
    }

    /// The most tiles there can be, whatever is chosen; `tiles` has four int32 for each.
    package var tileLimit: Int { choices / tokens + min(experts, choices) }

    package var route: CUDALaunchShape { CUDALaunchShape("mr_mixture_route", grid: (rows, 1, 1), block: 32) }

    package var group: CUDALaunchShape {
        CUDALaunchShape("mr_mixture_group", grid: (1, 1, 1), block: 1024, sharedBytes: experts * 12 + 4)
    }

    /// - Parameter format: of the weights; nil: bfloat16.
    package func gateUp(_ format: CUDAWeightFormat?) -> CUDALaunchShape {
        CUDALaunchShape(
            "mr_mixture_gate_up_\(tokens)", grid: (tileLimit, (inner + 63) / 64, 1), block: 128,
            sharedBytes: sharedBytes(format))
    }

    package func down(_ format: CUDAWeightFormat?) -> CUDALaunchShape {
        CUDALaunchShape(
            "mr_mixture_down_\(tokens)", grid: (tileLimit, (hidden + 127) / 128, 1), block: 128,
            sharedBytes: sharedBytes(format))
    }

    private func sharedBytes(_ format: CUDAWeightFormat?) -> Int {
        guard let format else { return 4 * (128 + tokens) * 128 }
        return CUDALaunchGemmQuantized.sharedBytes(format, tokens: tokens)
    }

    package var add: CUDALaunchShape {
        CUDALaunchShape("mr_mixture_add", grid: (rows, (hidden + 1023) / 1024, 1), block: 256)
    }
}
