package dev.conclave.client;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.conclave.client.api.KVGrpc;
import dev.conclave.client.api.PutRequest;
import dev.conclave.client.api.PutResponse;
import dev.conclave.client.api.RangeRequest;
import dev.conclave.client.api.RangeResponse;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StatusTest {
  @ParameterizedTest
  @CsvSource({
    "UNAVAILABLE, MAYBE, UNAVAILABLE",
    "UNKNOWN, MAYBE, UNAVAILABLE",
    "INTERNAL, MAYBE, UNAVAILABLE",
    "ABORTED, MAYBE, UNAVAILABLE",
    "DATA_LOSS, MAYBE, UNAVAILABLE",
    "DEADLINE_EXCEEDED, MAYBE, DEADLINE",
    "CANCELLED, MAYBE, DEADLINE",
    "UNIMPLEMENTED, API, API",
    "RESOURCE_EXHAUSTED, API, API"
  })
  void a_status_outside_the_table_is_judged_by_its_code(Status.Code code, ErrorKind ofWrite, ErrorKind ofRead)
      throws Exception {
    Status status = code.toStatus().withDescription("not in the table");
    Server server =
        NettyServerBuilder.forPort(0)
            .addService(
                new KVGrpc.KVImplBase() {
                  @Override
                  public void put(PutRequest request, StreamObserver<PutResponse> answer) {
                    answer.onError(status.asRuntimeException());
                  }

                  @Override
                  public void range(RangeRequest request, StreamObserver<RangeResponse> answer) {
                    answer.onError(status.asRuntimeException());
                  }
                })
            .build()
            .start();
    try (Client client =
        Client.builder().endpoints("127.0.0.1:" + server.getPort()).timeout(Duration.ofSeconds(2)).build()) {
      ConclaveException write = Eventually.failure(ofWrite, () -> client.kv().put("a", "1"));
      assertEquals(ofWrite == ErrorKind.MAYBE, write.mayHaveHappened());
      Eventually.failure(ofRead, () -> client.kv().get("a"));
    } finally {
      server.shutdownNow();
    }
  }
}
