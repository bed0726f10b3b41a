package dev.conclave.examples.glassfish;

import jakarta.ws.rs.ApplicationPath;
import jakarta.ws.rs.core.Application;

/** Serves the resources at the root. */
@ApplicationPath("/")
public class TasksApplication extends Application {}
