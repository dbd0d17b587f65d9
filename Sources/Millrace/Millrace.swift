import ArgumentParser

@main struct Millrace: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace", abstract: "Bulk LLM text completion on machines you own.",
        version: "0.1.0",
        subcommands: [
            RunCommand.self,
            SubmitCommand.self, StatusCommand.self, ListCommand.self, ResultsCommand.self, WaitCommand.self,
            CancelCommand.self, RequeueCommand.self, UsageCommand.self, QueuesCommand.self, WorkersCommand.self,
            TopCommand.self, WorkerCommand.self, ForwarderCommand.self,
            DevicesCommand.self, InspectCommand.self, TokenizeCommand.self, DetokenizeCommand.self,
            PerplexityCommand.self, BenchCommand.self,
            RoutesCommand.self, KeysCommand.self, CapsCommand.self,
        ])
}
