package dev.conclave.examples.glassfish;

import dev.conclave.client.SessionState;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;
import jakarta.ws.rs.GET;
import jakarta.ws.rs.Path;
import jakarta.ws.rs.Produces;
import jakarta.ws.rs.core.Context;
import jakarta.ws.rs.core.MediaType;
import jakarta.ws.rs.core.Response;
import jakarta.ws.rs.sse.Sse;
import jakarta.ws.rs.sse.SseEventSink;
import java.io.InputStream;

/** The answers of this server. */
@Path("/")
@ApplicationScoped
public class StatusResource {
  @Inject private LiveStatus live;

  /** {@code problem} is null if the session is connected. */
  public record Health(String node, SessionState state, String problem) {}

  /** The page. */
  @GET
  @Produces(MediaType.TEXT_HTML + ";charset=UTF-8")
  public InputStream page() {
    return StatusResource.class.getResourceAsStream("/page.html");
  }

  /** The status, now and after each change. */
  @GET
  @Path("events")
  @Produces(MediaType.SERVER_SENT_EVENTS)
  public void events(@Context SseEventSink page, @Context Sse sse) {
    live.subscribe(page, sse);
  }

  /** Who leads: 200; 404 if nobody does; 503 if this server is cut off, because what it knows may be old. */
  @GET
  @Path("leader")
  @Produces(MediaType.APPLICATION_JSON)
  public Response leader() {
    Status status = live.now();
    if (!status.connected()) {
      return Response.status(Response.Status.SERVICE_UNAVAILABLE).entity(health(status)).build();
    }
    if (status.view().leader() == null) {
      return Response.status(Response.Status.NOT_FOUND).entity("{}").build();
    }
    return Response.ok(status.view().leader()).build();
  }

  /** For a load balancer: 200 while the session is connected, otherwise 503. */
  @GET
  @Path("health")
  @Produces(MediaType.APPLICATION_JSON)
  public Response health() {
    Status status = live.now();
    return Response.status(status.connected() ? Response.Status.OK : Response.Status.SERVICE_UNAVAILABLE)
        .entity(health(status))
        .build();
  }

  private static Health health(Status status) {
    return new Health(status.node(), status.state(), status.problem());
  }
}
