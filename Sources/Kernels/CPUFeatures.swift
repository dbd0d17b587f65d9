import CKernels

#if canImport(Glibc)
    import Glibc
#endif

/// The instruction sets that the CPU kernels are written for, and which of them this machine runs.
package enum CPUFeatures {
    /// In rising order of preference.
    package enum InstructionSet: UInt32, CaseIterable, Sendable, CustomStringConvertible {
        case scalar = 0
        case avx2, avx512, avx512bf16, amx

        var kernel: mr_isa { mr_isa(rawValue: rawValue) }
        /// The name that `MILLRACE_ISA` takes.
        package var description: String { String(cString: mr_isa_name(kernel)) }
        package var isSupported: Bool { mr_isa_supported(kernel) }
        /// It multiplies bfloat16 in hardware.
        package var multipliesBFloat16: Bool { mr_isa_multiplies_bf16(kernel) }
        /// It multiplies bytes in hardware (or is plain C, which is slow in everything).
        package var multipliesBytes: Bool { mr_isa_multiplies_bytes(kernel) }
    }

    /// What this machine runs, in rising order of preference.
    package static var available: [InstructionSet] { InstructionSet.allCases.filter(\.isSupported) }
    package static var best: InstructionSet { available.last ?? .scalar }
    /// CPUs that this process may run on.
    package static var onlineCPUs: Int { Int(mr_online_cpus()) }

    /// The instruction set named by `MILLRACE_ISA`, or the best one where that is unset or empty.
    /// Throws `DeviceError.badSetting` where the name is unknown or the CPU lacks it.
    package static func chosen() throws -> InstructionSet {
        guard let value = getenv("MILLRACE_ISA"), value.pointee != 0 else { return best }
        return try named(String(cString: value))
    }

    /// The instruction set of that name; throws `DeviceError.badSetting` where there is none or the CPU lacks it.
    package static func named(_ name: String) throws -> InstructionSet {
        let usable = available.map(\.description).joined(separator: ", ")
        guard let set = InstructionSet.allCases.first(where: { $0.description == name }) else {
            let known = InstructionSet.allCases.map(\.description).joined(separator: ", ")
            throw DeviceError.badSetting("MILLRACE_ISA: '\(name)' is not one of \(known)")
        }
        guard set.isSupported else {
            throw DeviceError.badSetting("MILLRACE_ISA: this CPU cannot run \(name); it has \(usable)")
        }
        return set
    }
}
